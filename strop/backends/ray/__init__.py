"""A run over a Ray cluster: actors that learn, and actors that draw.

The process that was started leads. It alone runs the loop, judges, draws the display and writes the run folder; the
actors hold models. What comes out is what one process computes, also where an actor is lost on the way: another one
takes its place and does what was not done yet.
"""
