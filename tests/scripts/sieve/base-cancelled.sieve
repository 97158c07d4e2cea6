require "fileinto";
fileinto "One";
fileinto "One";
discard;
if size :over 500 { fileinto "INBOX"; }
if size :over 900 { keep; }
