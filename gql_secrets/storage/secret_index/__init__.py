"""Finding one secret by its digest, outside the ORM: the path of every verification.

The secret is found by its digest, never by its client first, so the time does not reveal whether a client exists. Nor
does it reveal whether a refused secret exists, has ended, or belongs to a disabled client: every refusal makes
one read that finds a row and one that finds none, in either order. A decoy read replaces the one that would be missing
(tests/benchmarks/oracle.py measures it).
"""
