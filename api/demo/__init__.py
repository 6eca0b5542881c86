"""The demo city: 惠济区 with its real outline and township names, and synthetic inner lines, rules and complaints."""

CASES, SEED = 1200, 410108
FEWEST = 100
"""With fewer cases some of the rarer kinds of place would stay empty."""
