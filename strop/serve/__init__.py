"""`strop serve`: an OpenAI-compatible endpoint whose model name chooses how the answer is found.

::

    request -> names (which model, which decoder) -> gate (is there room?) -> answering (attempts, one choice)
            -> source (a batch that requests join at any time, or another server) -> reply, whole or streamed
"""
