"""The verbs of ``sparsedef`` that train, evaluate and reproduce: options, and mistakes in words."""
