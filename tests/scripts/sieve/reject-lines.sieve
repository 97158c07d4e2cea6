require "reject";
if size :over 600 {
    reject text:
This is too large.
.
    ;
}
