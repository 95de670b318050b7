"""
Ops that run in Python between compiled stages: sequences, optionals, strings, maps.

`registry.find_host_op` finds one; the modules that hold them are loaded when asked for.
"""
