"""From configuration to objects: how options are declared, typed and checked, which of them are part of a result, and
building the objects that they describe.
"""
