"""From a model of another framework to a module of `nn` ops."""
