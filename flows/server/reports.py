"""The reports of runs as pages, for links in the Prefect UI.

``python -m flows.server.reports PORT`` starts the server. It asks for the password of the Prefect
server, and gives nothing else out of the storage. It is a server of its own since a browser keeps
the pages of two ports apart: a report cannot read what the UI keeps there.
"""

import os
import sys
from hmac import compare_digest
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Path, Response
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from flows.config.presets import storage_place
from flows.server.processes import HOST
from sentiment.evaluation.label_errors import SUSPECTS
from tasks.store.store import RUNS, Store

RUN_ID = r"^\d{8}T\d{6}\.\d{6}-\d+$"  # as tasks.store.run_records.new_run_id makes it
FILES = {"report.html": "text/html", SUSPECTS: "text/csv"}
REALM = "review-sentiment"  # which the browser shows when it asks for the password
HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


def reports_app(store: Store, password: str | None) -> FastAPI:
    """Return the web application; ``password`` is a ``USER:WORD``, or None to let everybody in."""
    app, basic = FastAPI(openapi_url=None), HTTPBasic(realm=REALM)

    def check(given: Annotated[HTTPBasicCredentials, Depends(basic)]) -> None:
        told = f"{given.username}:{given.password}"
        if not compare_digest(told.encode(), (password or "").encode()):
            raise HTTPException(
                401, "Wrong password", {"WWW-Authenticate": f'Basic realm="{REALM}"'}
            )

    @app.get("/health")
    def health() -> bool:
        return True

    @app.api_route(
        "/runs/{run}/{name}",
        methods=["GET", "HEAD"],
        dependencies=[Depends(check)] if password else [],
    )
    def file(run: Annotated[str, Path(pattern=RUN_ID)], name: str) -> Response:
        found = store.get(f"{RUNS}/{run}/{name}") if name in FILES else None
        if found is None:
            raise HTTPException(404, f"Run {run} has no {name}, or it has been removed.")
        return Response(found.content, media_type=FILES[name], headers=HEADERS)

    return app


def main(port: int) -> None:
    """Serve the reports of SENTIMENT_STORAGE on this machine's own address until stopped."""
    store = Store.at(storage_place(None))
    app = reports_app(store, os.environ.get("PREFECT_SERVER_API_AUTH_STRING"))
    uvicorn.run(app, host=HOST, port=port, log_level="warning")


if __name__ == "__main__":
    main(int(sys.argv[1]))
