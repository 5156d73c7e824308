"""The learners: A2C, iALP, A-iALP_ap, and policies that do not learn."""
