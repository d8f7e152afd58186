"""The Deep Learning Acceleration Stack study, one package for each layer of the stack."""
