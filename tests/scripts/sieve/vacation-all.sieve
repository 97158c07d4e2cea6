require "vacation";
if not header :contains "precedence" ["bulk", "list"] {
    vacation :days 3 :subject "Gone" :from "me@example.org" :handle "away" :addresses ["ann@example.org", "bob@example.net"]
        "Back on Monday.";
}
