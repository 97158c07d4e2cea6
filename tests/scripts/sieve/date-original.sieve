require ["variables", "reject", "date"];

if date :originalzone :matches "date" "year" "*" { set "year" "${1}"; }
if date :originalzone :matches "date" "month" "*" { set "month" "${1}"; }
if date :originalzone :matches "date" "day" "*" { set "day" "${1}"; }
if date :originalzone :matches "date" "date" "*" { set "date" "${1}"; }
if date :originalzone :matches "date" "julian" "*" { set "julian" "${1}"; }
if date :originalzone :matches "date" "hour" "*" { set "hour" "${1}"; }
if date :originalzone :matches "date" "minute" "*" { set "minute" "${1}"; }
if date :originalzone :matches "date" "second" "*" { set "second" "${1}"; }
if date :originalzone :matches "date" "time" "*" { set "time" "${1}"; }
if date :originalzone :matches "date" "iso8601" "*" { set "iso8601" "${1}"; }
if date :originalzone :matches "date" "std11" "*" { set "std11" "${1}"; }
if date :originalzone :matches "date" "zone" "*" { set "zone" "${1}"; }
if date :originalzone :matches "date" "weekday" "*" { set "weekday" "${1}"; }
set "r" "${year}|${month}|${day}|${date}|${julian}|${hour}|${minute}|${second}|${time}|${iso8601}|${std11}|${zone}|${weekday}";
reject "is ${r}";
