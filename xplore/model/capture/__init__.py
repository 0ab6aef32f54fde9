"""Which values of a model are its layers, and how they are captured: from a jaxpr, or from torch."""
