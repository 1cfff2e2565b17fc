"""What the services are asked without limits: a test may reset one client as often as it likes."""

from dataclasses import replace

import pytest

from gql_secrets.settings import Settings


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, rate_limits="off")
