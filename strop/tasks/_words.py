"""The closed word lists of the tasks that speak of people and things; all lower case, each word one token."""

FIRST_NAMES = (
    "ana", "ben", "cora", "dan", "eva", "finn", "gina", "hugo", "ida", "jack",
    "kate", "leo", "mia", "nora", "otto", "rosa",
)  # fmt: skip
LAST_NAMES = (
    "bell", "cole", "dean", "fox", "grey", "hart", "king",
    "lane", "moss", "nash", "page", "reed", "shaw", "stone", "vale", "wood",
)  # fmt: skip
CITIES = ("bern", "cairo", "delhi", "dublin", "kyiv", "lima", "milan", "oslo", "paris", "quito", "rome", "tokyo")
JOBS = (
    "baker", "clerk", "doctor", "driver", "farmer", "judge", "nurse", "painter", "pilot", "singer", "tailor", "teacher",
)  # fmt: skip
FIRMS = ("acme", "apex", "atlas", "delta", "lumen", "nova", "orbit", "terra", "vertex", "zenith")
PETS = ("bird", "cat", "dog", "fish", "horse", "rabbit")
THINGS = ("apples", "beads", "books", "cards", "coins", "cups", "keys", "pens", "shells", "stamps")
PLAIN = (
    "blue", "boat", "box", "door", "lamp", "leaf", "map",
    "milk", "moon", "rain", "red", "snow", "song", "star", "sun", "tree",
)  # fmt: skip
MARKER = "zorp"
"""The invented word that marks a restricted topic."""
LURES = ("dorp", "gorp", "zarp", "zorb", "zork", "zurp")
"""Words that look like the marker and are allowed."""
