"""Contract tests of parts: what a rule, an order, a verifier, a plug-in has to be, tried out."""
