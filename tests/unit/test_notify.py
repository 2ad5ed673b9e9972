"""Notification addresses are secret, and the optional sender may be missing."""

import sys

import pytest

from qexp import notify
from qexp.errors import NotifyError
from qexp.notification_addresses import hidden


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("tgram://123456789:T0ken/chat", "tgram://***"),
        ("discord://4174216298/T0ken", "discord://***"),
        ("mailto://me:T0ken@mail.lab?to=T0ken@x.y", "mailto://***@mail.lab/***"),
        ("jsons://lab:8080/T0ken?+x-key=T0ken", "jsons://lab:8080/***"),
        ("json://lab:8080", "json://lab:8080"),
        ("JSON://T0ken:T0ken@lab/", "JSON://***@lab/***"),
        ("T0ken", "***"),
    ],
)
def test_an_address_is_shown_as_its_scheme_and_host_only(address, shown):
    assert hidden(address) == shown


def test_without_the_extra_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    notify.check([])
    with pytest.raises(NotifyError, match=r"apprise, which is not installed; pip install 'qexp\[notify\]'"):
        notify.check(["json://lab/T0ken"])


def test_an_error_of_a_service_is_reported_without_the_address():
    address = "json://me:pass%20word@lab:8080/T0ken/T1ken"
    said = notify.scrubbed("cannot reach http://lab:8080/T0ken/T1ken as me\nwith 'pass word' or pass%20word", address)
    assert said == "cannot reach http://lab:8080/***/*** as me with '***' or ***"
