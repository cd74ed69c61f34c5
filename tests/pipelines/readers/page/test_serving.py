"""A page served on this machine: made anew when the run goes on, and for nobody elsewhere.

Run: python -m pytest tests/pipelines/readers/page/test_serving.py
"""

from http.client import HTTPConnection

import pytest

from pipelines.readers.page import serving
from pipelines.readers.page.serving import HOST, Server, state_of
from rft.errors import RFTError
from rft.runs.folder import Run
from tests.command import invoke
from tests.pages import serve
from tests.small_run import RIGHT, evaluate, new_run, prepare, sample, solved

ANSWERS = {("test", "test", f"t{number}"): solved(number, 2) for number in range(3)}


def ask(server: Server, path: str = "/", host: str | None = None, method: str = "GET"):
    port = server.server_address[1]
    connection = HTTPConnection(HOST, port, timeout=30)
    connection.request(method, path, headers={"Host": host or f"{HOST}:{port}"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


@pytest.fixture
def run(tmp_path) -> Run:
    run = new_run(tmp_path / "run")
    prepare(run, answers=ANSWERS)
    return run


def test_the_page_is_there_and_made_anew_when_the_run_has_gone_on(run, monkeypatch):
    made = []
    page_of = serving.page_of

    def counted(*words):
        made.append(words)
        return page_of(*words)

    monkeypatch.setattr(serving, "page_of", counted)
    with serve(run) as server:
        answer, page = ask(server)
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        _, state = ask(server, "/state")
        assert f'data-state="{state}"' in page
        assert "connect-src 'self'" in page
        assert "No evaluation yet" in page
        assert ask(server, host=f"localhost:{server.server_address[1]}")[1] == page
        assert len(made) == 1
        evaluate(run, 0, ANSWERS)
        _, newer = ask(server, "/state")
        assert newer != state
        _, page = ask(server)
        assert "Nothing to compare yet" in page
        assert f'data-state="{newer}"' in page
        assert len(made) == 2


def test_the_state_changes_with_each_stage_and_with_nothing_else(run):
    seen = [state_of(run)]
    evaluate(run, 0, ANSWERS)
    seen.append(state_of(run))
    sample(run, 1, [("p0", RIGHT, "stop", 0.5)])
    seen.append(state_of(run))
    assert len(set(seen)) == 3
    assert state_of(run) == seen[-1]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", " "])
def test_under_the_name_of_another_it_says_nothing_of_the_run(run, host):
    with serve(run) as server:
        for path in ("/", "/state"):
            answer, text = ask(server, path, host)
            assert answer.status == 403
            assert text == f"This page is at {server.address}.\n"


def test_there_is_nothing_else_to_have(run):
    with serve(run) as server:
        for path in ("/recipe.yaml", "/../recipe.yaml", "/state/", "/?x", "/state?"):
            answer, text = ask(server, path)
            assert (answer.status, text) == (404, "There is one page here: /\n")
        assert ask(server, method="POST")[0].status == 501


def test_a_damaged_run_is_told_in_one_line_and_served_again_when_it_is_whole(run):
    path = run.path / "recipe.yaml"
    recipe = path.read_text()
    path.write_text("rounds: many\n")
    with serve(run) as server:
        answer, text = ask(server)
        assert answer.status == 500
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert text.count("\n") == 1
        assert "recipe.yaml" in text
        path.write_text(recipe)
        assert ask(server)[0].status == 200


def test_it_listens_on_this_machine_alone(run):
    with Server(run, 0, 20) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_one_line_and_what_to_do(run):
    with Server(run, 0, 20) as server:
        port = server.server_address[1]
        with pytest.raises(RFTError, match=f"--port {port}: cannot be had .*--port 0"):
            Server(run, port, 20)
        done = invoke("view", run.path, "--port", port)
        assert done.exit_code == 2
        assert f"--port {port}: cannot be had" in done.output
        assert "Traceback" not in done.output


def test_the_command_says_where_it_is(run, monkeypatch):
    def interrupted(_server):
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "serve_forever", interrupted)
    done = invoke("view", run.path, "--port", 0)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("http://127.0.0.1:")
    assert done.stdout.endswith(
        f"/ shows {run.path}, after some seconds of drawing; Ctrl-C ends it\n"
    )
