"""The database: models, migrations, transactions, and one package for each kind of database."""
