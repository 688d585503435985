"""What a configuration describes: how options are declared, typed and checked, which of them are part of a result, and
making what they describe.
"""
