import pytest


def pytest_configure(config: pytest.Config) -> None:
    # scikit-learn's test modules carry marks that its own configuration declares.
    config.addinivalue_line("markers", "thread_unsafe: scikit-learn's; without a meaning here")
