require ["fileinto", "mailbox", "copy"];
if exists "list-id" { fileinto :create "Lists/New"; }
else { fileinto :copy :create "Copies"; }
