"""Timings of sparsedef and its peers, none without a check of the answer first."""
