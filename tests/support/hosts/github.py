"""
A double of GitHub's REST API; its answers are GitHub's own examples with other values in them.

Kept from the real one: uniqueness is per head and base, a head filter without an owner or with an
old one finds nothing, reviewers are refused as a whole list, unknown labels are made.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.support.hosts.described import Json
from tests.support.hosts.double import FORK_ID, Answer, HostDouble, Pull, Seen, members, parts
from tests.support.hosts.double import words as strings


class GitHubDouble(HostDouble):
    """GitHub Enterprise, with its API below the site; /api/v3."""

    name = "github"
    root = "/api/v3"

    def __init__(self) -> None:
        super().__init__()
        self.teams = {"core"}
        self.scopes = "repo, read:org"

    def route(self, seen: Seen) -> Answer:
        match seen.method, parts(seen.path):
            case "GET", ["user"]:
                return 200, {**self._description.example(_USER), "login": "octocat"}
            case _, ["repos", self.renamed_from, *_]:
                status = 301 if seen.method == "GET" else 307
                return status, {"message": "Moved Permanently"}
            case "GET", ["repos", self.owner, self.repository]:
                return 200, self._repository()
            case method, ["repos", self.owner, self.repository, *rest]:
                return self._inside(seen, method, rest)
            case _:
                return 404, {"message": "Not Found", "status": "404"}

    def headers(self, seen: Seen) -> Mapping[str, str]:
        if self.renamed_from and seen.path.startswith(f"/repos/{self.renamed_from}/"):
            old, new = f"/{self.renamed_from}/", f"/{self.owner}/"
            return {"location": f"http://{self.host}{self.root}{seen.path.replace(old, new, 1)}"}
        return {"x-oauth-scopes": self.scopes}

    def _inside(self, seen: Seen, method: str, rest: list[str]) -> Answer:
        match method, rest:
            case "GET", ["pulls"]:
                return 200, [self._shown(pull) for pull in self.pulls if _listed(self, pull, seen)]
            case "POST", ["pulls"]:
                return self._create(members(seen.body))
            case _, ["pulls" | "issues", number, *deeper]:
                pull = self.pull(int(number))
                if pull is None:
                    return 404, {"message": "Not Found", "status": "404"}
                return self._one(pull, seen, method, deeper)
            case _:
                return 404, {"message": "Not Found", "status": "404"}

    def _one(self, pull: Pull, seen: Seen, method: str, deeper: list[str]) -> Answer:
        match method, deeper:
            case "GET", []:
                return 200, self._shown(pull)
            case "PATCH", []:
                return self._update(pull, members(seen.body))
            case "POST", ["labels"]:
                pull.labels = list(dict.fromkeys(pull.labels + strings(_labels(seen))))
                return 200, [{"name": name} for name in pull.labels]
            case "POST", ["requested_reviewers"]:
                return self._review(pull, members(seen.body))
            case _:
                return 404, {"message": "Not Found", "status": "404"}

    def _create(self, body: Json) -> Answer:
        head, base = str(body["head"]), str(body["base"])
        if {head, base} - self.branches:
            field = "head" if head not in self.branches else "base"
            return _invalid([{"resource": "PullRequest", "field": field, "code": "invalid"}])
        if len(str(body["title"])) > 256:
            return _invalid(["title is too long (maximum is 256 characters)"])
        if any(p.head == head and p.base == base and p.state == "open" for p in self.pulls):
            said = f"A pull request already exists for {self.owner}:{head}."
            return _invalid([{"resource": "PullRequest", "code": "custom", "message": said}])
        if body.get("draft") and not self.takes_drafts:
            return 422, {"message": "Draft pull requests are not supported in this repository."}
        pull = self.open(
            head,
            base,
            title=str(body["title"]),
            text=str(body.get("body") or ""),
            draft=bool(body.get("draft")),
        )
        return 201, self._shown(pull)

    def _update(self, pull: Pull, body: Json) -> Answer:
        base = str(body.get("base", pull.base))
        if base not in self.branches:
            return _invalid([{"resource": "PullRequest", "field": "base", "code": "invalid"}])
        pull.base = base
        pull.title = str(body.get("title", pull.title))
        pull.text = str(body.get("body", pull.text))
        return 200, self._shown(pull)

    def _review(self, pull: Pull, body: Json) -> Answer:
        users, teams = strings(body.get("reviewers", [])), strings(body.get("team_reviewers", []))
        if not {*users} <= {*self.users} or not {*teams} <= self.teams:
            return 422, {"message": "Reviews may only be requested from collaborators."}
        pull.reviewers = list(dict.fromkeys([*pull.reviewers, *users, *teams]))
        return 201, self._shown(pull)

    def _shown(self, pull: Pull) -> Json:
        shown = self._description.example("pull-request")
        head, base = dict(members(shown["head"])), dict(members(shown["base"]))
        head["ref"], base["ref"] = pull.head, pull.base
        if pull.from_fork:
            head["repo"] = {**members(head["repo"]), "id": FORK_ID}
        return {
            **shown,
            "number": pull.number,
            "title": pull.title,
            "body": pull.text,
            "draft": pull.draft,
            "state": "open" if pull.state == "open" else "closed",
            "merged": pull.state == "merged",
            "merged_at": "2026-01-26T19:01:12Z" if pull.state == "merged" else None,
            "html_url": self.web_url(f"pull/{pull.number}"),
            "head": head,
            "base": base,
        }

    def _repository(self) -> Json:
        return {
            **self._description.example("full-repository-default-response"),
            "full_name": self.full_name,
            "default_branch": self.default_branch,
        }


_USER = "private-user-response-with-public-and-private-profile-information"


def _listed(double: GitHubDouble, pull: Pull, seen: Seen) -> bool:
    owner, _, branch = seen.query.get("head", "").partition(":")
    if seen.query.get("state", "open") == "open" and pull.state != "open":
        return False
    return owner == double.owner and branch == pull.head


def _labels(seen: Seen) -> object:
    return members(seen.body)["labels"]


def _invalid(errors: list[object]) -> Answer:
    return 422, {"message": "Validation Failed", "errors": errors, "status": "422"}
