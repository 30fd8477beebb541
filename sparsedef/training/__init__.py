"""Training of networks: one loop that resumes, and the objectives that it minimises."""
