require "fileinto";
if header :contains "subject" text: # the key is a text of several lines
hello
.
{ fileinto "Never"; }
if header :is "x-path" text:
..
.
{ fileinto "Never too"; }
keep;
