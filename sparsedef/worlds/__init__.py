"""Worlds that are drawn, not photographed: every scene parameter has a gradient."""
