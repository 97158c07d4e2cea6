require ["fileinto"];
fileinto "A";
fileinto "B/C";
fileinto "A";
fileinto "inbox";
if exists "cc" { keep; }
