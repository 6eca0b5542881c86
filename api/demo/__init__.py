"""The demo city: 惠济区 with its real outline and township names, and synthetic inner lines, rules and complaints."""
