"""Pure mathematics: ``xp`` is required, nothing is validated, no framework is named.

A few words mean the same in all kernels::

    sound     a row that is valid: of invalid ones the result is NaN, and their derivatives hold nobody up
    live      an entry whose weight is > 0: of a pair, in both distributions
    dead      an entry of weight 0
    edge      a dead entry whose derivative is finite, and counts
    outside   the mass of P where Q has none; ``unused`` is that of Q where P has none
    lost      what must be formed in another way, as its digits are gone
    near      where a series or another form keeps the digits; ``far`` is the rest of it
    steep     where an exponential would overflow
    peak      the largest entry of a row, or its weight
    order     α and t = α − 1; ``static``: α is a Python number
"""
