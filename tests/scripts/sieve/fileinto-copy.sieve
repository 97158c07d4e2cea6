require ["fileinto", "copy"];
fileinto :copy "Archive";
if exists "cc" { redirect :copy "watch@example.net"; }
if exists "bcc" { discard; }
