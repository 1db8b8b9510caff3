# Figures as text. None looks better than it is: a rate is rounded down, a cost is rounded up.
import math

SLACK = 1e-9  # of binary fractions: 0.29 is 0.28999999999999998


def number(value, digits=0, is_cost=False):
    scale = 10 ** digits
    whole = math.ceil(value * scale - SLACK) if is_cost else math.floor(value * scale + SLACK)
    return f"{whole / scale:,.{digits}f}"


def ratio(value, is_cost=False):
    return "–" if value is None else f"{number(value, 2, is_cost)}×"
