"""What shows that the networks attend where they should: small trainings on cluttered digits.

``python -m plugins.classification.proofs.NAME FOLDER`` reads a prepared set and writes a table.
"""
