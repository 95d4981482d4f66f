"""One file per question: a grid of recipes (the arms), and what is read off them."""
