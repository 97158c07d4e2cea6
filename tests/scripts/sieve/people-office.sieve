require ["fileinto", "date", "relational", "copy", "vacation", "body"];
if allof (date :value "ge" :originalzone "date" "hour" "09", date :value "lt" :originalzone "date" "hour" "17") {
    fileinto "Office hours";
}
if body :text :contains "secret" { redirect :copy "guard@example.net"; }
if not exists ["list-id", "auto-submitted"] { keep; }
