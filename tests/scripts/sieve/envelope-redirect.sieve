require ["envelope", "copy"];
if envelope :is "from" "" { stop; }
redirect :copy "elsewhere@example.net";
