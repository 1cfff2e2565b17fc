"""What is remembered: Tortoise models, migrations, transactions."""
