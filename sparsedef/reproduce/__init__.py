"""The experiments of the papers as commands, in the papers' layout, with what they leave out."""
