"""The demo city: 惠济区 with its real outline and township names, and synthetic inner lines, rules and complaints."""

CASES, SEED = 1200, 410108
FEWEST = 100
"""With fewer cases some of the rarer kinds of place would stay empty."""
FEWEST_IN_DATABASE, IN_DATABASE = 50, 500
"""With fewer, some of what can happen to a case would not; and how many unless somebody says."""
