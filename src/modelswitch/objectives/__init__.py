"""What a training minimises: modules called with a batch that return named loss terms.

The terms are scalars; ``loss`` is the one that is minimised, the others are for the history. An
objective registers what it trains (the student, a regressor) as submodules and keeps its teachers
out of them, so that neither the optimiser nor a resume file touches a teacher.
"""
