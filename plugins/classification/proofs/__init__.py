"""What shows that networks and mechanisms attend where they should.

``python -m plugins.classification.proofs.NAME --help`` says what is asked. Some make small
trainings on a prepared set, others look into trained runs; each writes a table.
"""
