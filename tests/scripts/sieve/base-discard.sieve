/* Whatever is advertised goes. */
if header :contains "subject" ["money", "win"] { discard; }
