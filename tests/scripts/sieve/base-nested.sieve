require "fileinto";
if exists "subject" {
    if header :contains "subject" "hello" {
        if header :contains "from" "ann" { fileinto "Ann"; } else { fileinto "Hello"; }
        stop;
    }
    if not anyof (header :contains "to" "bob", allof (exists "cc", false)) { fileinto "Others"; }
}
