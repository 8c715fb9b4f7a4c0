"""What is cut from addresses, and that nothing else changes."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvsam.addresses import cleaned, without_secrets
from uvsam.errors import SceneError

SECRET = "s3cr3t"
CASES = {
    f"https://user:{SECRET}@host/x.tif?X-Amz-Signature={SECRET}&b=1": "https://host/x.tif",
    f"cannot open https://h:8080/a.tif?sig={SECRET}: HTTP 403": "cannot open https://h:8080/a.tif: HTTP 403",
    f"(https://h/a?{SECRET}), https://u:{SECRET}@h/b and more": "(https://h/a), https://h/b and more",
    f"/vsicurl/https://h/x.tif?{SECRET}": "/vsicurl/https://h/x.tif",
    f"/vsicurl?use_head=no&url=https%3A%2F%2Fu%3A{SECRET}%40h%2Fx.tif%3Fsig%3D{SECRET}": "/vsicurl/https://h/x.tif",
    f"/vsicurl?header.Authorization=Bearer%20{SECRET}&amp;url=https://h/x.tif": "/vsicurl/https://h/x.tif",
    f"vrt://https://h/x.tif?sig={SECRET}&bands=1": "vrt://https://h/x.tif",
    f"s3://key:{SECRET}@bucket/x.tif": "s3://bucket/x.tif",
    f"HTTPS://U:{SECRET}@H/x": "HTTPS://H/x",
    f"https://user:{SECRET}#{SECRET}@host/x.tif": "https://...",
    f"https://user:{SECRET}@{SECRET}@host/x.tif": "https://host/x.tif",
    f"<SourceFilename>https://h/a?{SECRET}</SourceFilename>": "<SourceFilename>https://h/a</SourceFilename>",
    f"https:/user:{SECRET}@host/x.gpkg?sig={SECRET} is on the network": "https:/host/x.gpkg is on the network",
    'NETCDF:"/a/b@c?d.nc":x, see:/x?y': 'NETCDF:"/a/b@c?d.nc":x, see:/x?y',
    "vrt://plain.tif?bands=3,2,1": "vrt://plain.tif?bands=3,2,1",
    "no scheduler at tcp://[::1]:8786; https://host:80: no": "no scheduler at tcp://[::1]:8786; https://host:80: no",
    "/data/what?.tif and C:/x@y?z": "/data/what?.tif and C:/x@y?z",
}


@pytest.mark.parametrize(("text", "right"), CASES.items())
def test_an_address_is_scheme_host_and_path(text: str, right: str) -> None:
    assert without_secrets(text) == right
    assert str(SceneError(text)) == right
    assert cleaned({"a": [text, (text, 1)], "b": None}) == {"a": [right, (right, 1)], "b": None}


WORD = st.text(string.ascii_letters + string.digits + "%-._~", min_size=1, max_size=8)


@given(user=WORD, query=WORD, path=WORD, before=WORD, after=st.sampled_from(["", ": no", ", next", ")", " it"]))
def test_no_password_and_no_query_is_left(user: str, query: str, path: str, before: str, after: str) -> None:
    text = f"{before} https://{user}:!{user}@host/{path}?k=!{query}{after}"
    shown = without_secrets(text)
    assert shown == f"{before} https://host/{path}{after}" or query[-1] in ".,"
    assert "!" not in shown
    assert without_secrets(shown) == shown
