"""What this product's fields cost the budget, where that is more than the one value they return.

The unit is the cost of a plain value, about 3 microseconds of processor time: most documents that cost the whole limit
take less than 50 ms. The weights are measured (tests/benchmarks/query_cost.py) and declared at the fields; a test fails
for a resolver without one.
"""

from typing import Final

from gql_secrets.graphql_server.schema_costs import weighs

# A value that is loaded for all rows of a page in one query, and one that is evaluated for each row.
EVALUATED: Final = weighs(4)
# A page at the top with a search, one without, one below each of many rows, and the count of all rows of either.
SEARCHED_PAGE: Final = weighs(230, row=5, size=20)
PAGE: Final = weighs(160, row=5)
PAGE_BELOW: Final = weighs(80, row=7)
COUNT: Final = weighs(35)
# Counts of all clients, most often those of the last five seconds.
OVERVIEW: Final = weighs(300)
# One row, found by its id.
FOUND: Final = weighs(100)
# One of several rows that are found together, by their ids.
FOUND_TOGETHER: Final = weighs(8)
# A change of each of many clients, one after the other; each waits far longer for the disk than it computes.
BULK: Final = weighs(100, row=50, is_bulk=True)
