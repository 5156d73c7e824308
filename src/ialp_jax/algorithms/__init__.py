"""A2C, iALP and A-iALP_ap, with the returns and losses they share."""
