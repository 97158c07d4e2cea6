//! The original's channel keywords, and what each becomes.

/// The counterpart of a keyword.
#[derive(Clone, Copy, Debug)]
pub(super) enum Keyword {
    /// A setting, with this value.
    Set(&'static str, &'static str),
    /// Several settings with one value.
    Sets(&'static [&'static str], &'static str),
    /// A setting that takes the number behind the keyword.
    Number(&'static str),
    /// The same, in blocks of the original.
    Blocks(&'static str),
    /// A setting that takes the word behind it as a text.
    Text(&'static str),
    /// The same; a second word may stand behind it.
    Host(&'static str),
    /// The same, of a list that has one.
    OneOf(&'static str),
    /// The file of a URL `file:/path`.
    File(&'static str),
    /// Addresses of name servers.
    Servers(&'static str),
    /// Times, in the original's ISO 8601, as many as there are.
    Times(&'static str),
    /// Ages in days, as many as there are.
    Days(&'static str),
    /// Octets of a line without its end.
    Length,
    /// As here without a word, with so many arguments.
    Same(usize),
    /// About what is not there here, with so many arguments.
    NotNeeded(usize, &'static str),
    /// Without a counterpart, with so many arguments.
    Missing(usize, &'static str),
}

pub(super) fn is_keyword(word: &str) -> bool {
    find(word).is_some()
}

pub(super) fn find(word: &str) -> Option<Keyword> {
    let word = word.to_ascii_lowercase();
    let row = TABLE.iter().find(|(names, _)| names.split(' ').any(|name| name == word));
    row.map(|(_, keyword)| *keyword)
}

use Keyword::{
    Blocks, Days, File, Host, Length, Missing, NotNeeded, Number, OneOf, Same, Servers, Set, Sets,
    Text, Times,
};

const TLS: &[&str] = &["tls.server", "tls.client"];
const SASL: &[&str] = &["sasl.server", "sasl.client"];
const QUEUE: &str = "the queue is not laid out in files and directories of a channel";
const DEBUG: &str = "relais logs by RUST_LOG, and tells one message by `relais queue history`";
const HEADERS: &str = "headers leave as they came, but for addresses that rules or reversal change";
const PRIORITY: &str = "jobs start at once whenever there is something to do";
const VRFY: &str = "VRFY, EXPN and ETRN tell nothing here";

const TABLE: &[(&str, Keyword)] = &[
    ("smtp smtp_crlf smtp_cr smtp_lf smtp_crorlf", Set("program", "Smtp")),
    ("lmtp lmtp_crlf lmtp_cr lmtp_lf lmtp_crorlf", Set("program", "Lmtp")),
    ("nosmtp", Same(0)),
    ("submit", Set("submit", "true")),
    ("mx randommx nonrandommx", Set("mx", "Mx")),
    ("nomx", Set("mx", "NoMx")),
    ("defaultmx", Set("mx", "Default")),
    ("nodns", Set("mx", "NoDns")),
    ("nameservers", Servers("nameservers")),
    ("defaultnameservers", Same(0)),
    ("port", Number("port")),
    ("interfaceaddress", OneOf("interface_address")),
    ("daemon", Text("daemon")),
    ("multigate", Set("multigate", "true")),
    ("nomultigate", Set("multigate", "false")),
    ("connectcanonical", Set("connectcanonical", "true")),
    ("connectalias", Set("connectcanonical", "false")),
    ("lastresort", Text("lastresort")),
    ("dequeue_removeroute dequeueremoveroute", Set("dequeue_removeroute", "true")),
    (
        "enqueueremoveroute",
        Missing(0, "routes are taken off when mail leaves (dequeue_removeroute)"),
    ),
    (
        "cacheeverything cachefailures cachesuccesses nocache",
        NotNeeded(0, "hosts that are away are remembered by the queue"),
    ),
    ("affinitylist", Missing(0, "daemon takes several hosts with commas between them")),
    ("notls", Sets(TLS, "No")),
    ("notlsserver", Set("tls.server", "No")),
    ("notlsclient", Set("tls.client", "No")),
    ("maytls", Sets(TLS, "May")),
    ("maytlsserver", Set("tls.server", "May")),
    ("maytlsclient", Set("tls.client", "May")),
    ("musttls", Sets(TLS, "Must")),
    ("musttlsserver", Set("tls.server", "Must")),
    ("musttlsclient", Set("tls.client", "Must")),
    ("tlsswitchchannel", Text("tlsswitchchannel")),
    ("nosasl", Sets(SASL, "No")),
    ("nosaslserver", Set("sasl.server", "No")),
    ("nosaslclient", Set("sasl.client", "No")),
    ("maysaslserver", Set("sasl.server", "May")),
    ("mustsaslserver", Set("sasl.server", "Must")),
    ("maysaslclient", Set("sasl.client", "May")),
    ("mustsaslclient", Set("sasl.client", "Must")),
    ("maysasl", Sets(SASL, "May")),
    ("mustsasl", Sets(SASL, "Must")),
    ("saslswitchchannel", Text("saslswitchchannel")),
    ("nosaslswitchchannel notlsswitchchannel", Same(0)),
    ("switchchannel", Set("switchchannel", "Switch")),
    ("allowswitchchannel", Set("switchchannel", "Allow")),
    ("noswitchchannel", Set("switchchannel", "No")),
    ("userswitchchannel", Missing(0, "no user has a channel by the directory")),
    ("nouserswitchchannel", Same(0)),
    (
        "authrewrite",
        Missing(
            1,
            "submit: true with sender_must_match refuses senders that are not the user's own, in place of writing a Sender",
        ),
    ),
    ("disconnectbadauthlimit", Missing(1, "authentication.max_failures counts over all sessions")),
    ("ehlo checkehlo noehlo", NotNeeded(0, "EHLO is tried first, and HELO where it is refused")),
    ("sendetrn", Missing(1, VRFY)),
    (
        "nosendetrn allowetrn blocketrn disableetrn silentetrn domainetrn vrfyallow vrfydefault vrfyhide expnallow expndisable expndefault domainvrfy localvrfy novrfy",
        NotNeeded(0, VRFY),
    ),
    ("chunkingclient", Set("chunking", "WhenItPays")),
    ("nochunkingclient", Set("chunking", "Never")),
    ("chunkingserver", Same(0)),
    ("nochunkingserver", Missing(0, "BDAT is always taken")),
    ("streaming", NotNeeded(1, "commands are pipelined where the server offers it")),
    ("eightbit eightnegotiate", Same(0)),
    ("eightstrict", Set("downgrade", "Bounce")),
    (
        "sevenbit",
        Missing(
            0,
            "8BITMIME is always offered; for servers without it parts are made quoted-printable",
        ),
    ),
    (
        "mailfromdnsverify",
        Missing(0, "no sender's domain is looked up; verify.spf and dmarc judge senders"),
    ),
    ("nomailfromdnsverify acceptvalidaddresses", Same(0)),
    ("acceptalladdresses", Missing(0, "recipients who are not there are refused at RCPT")),
    (
        "identnone identnonelimited identnonenumeric identnonesymbolic identtcp identtcplimited identtcpnumeric identtcpsymbolic",
        NotNeeded(0, "no client is asked by IDENT, and no channel depends on its name"),
    ),
    (
        "forwardchecknone forwardchecktag forwardcheckdelete",
        NotNeeded(0, "names of clients count for nothing"),
    ),
    ("loopcheck", Missing(0, "circles are found by Received lines (max_received_lines)")),
    ("noloopcheck", Same(0)),
    (
        "blocklimit",
        Missing(
            1,
            "the size of mail for a channel is no limit here: sourceblocklimit counts where it comes in",
        ),
    ),
    ("noblocklimit", Same(0)),
    ("sourceblocklimit", Blocks("sourceblocklimit")),
    ("linelimit", Missing(1, "lines of a message are not counted")),
    ("linelength", Length),
    ("nolinelimit", Same(0)),
    ("recipientlimit", Number("recipientlimit")),
    ("recipientcutoff", Number("recipientcutoff")),
    ("deferralrejectlimit", Number("deferralrejectlimit")),
    ("transactionlimit", Number("transactionlimit")),
    ("disconnecttransactionlimit", Number("disconnecttransactionlimit")),
    ("disconnectrecipientlimit", Number("disconnectrecipientlimit")),
    ("disconnectrejectlimit", Number("disconnectrejectlimit")),
    ("disconnectbadcommandlimit", Number("disconnectbadcommandlimit")),
    ("disconnectcommandlimit", Number("disconnectcommandlimit")),
    ("holdlimit", Number("holdlimit")),
    (
        "expandlimit alternateblocklimit alternatelinelimit alternaterecipientlimit maxblocks maxlines",
        Missing(1, "large messages and lists take the same channel as others"),
    ),
    (
        "expandchannel alternatechannel",
        Missing(1, "large messages and lists take the same channel as others"),
    ),
    (
        "truncatesmtpdata rejectsmtplonglines wrapsmtplonglines truncatesmtplonglines",
        Missing(0, "lines pass up to max_line; longer ones are refused"),
    ),
    (
        "maxheaderaddrs maxheaderchars maxprocchars headerlabelalign headerlinelength",
        NotNeeded(1, HEADERS),
    ),
    ("single", Set("copies", "Single")),
    ("single_sys", Set("copies", "SingleSys")),
    ("multiple", Set("copies", "Multiple")),
    ("addrsperfile", Number("addrsperfile")),
    ("subdirs", NotNeeded(1, QUEUE)),
    ("nosubdirs", NotNeeded(0, QUEUE)),
    ("maxfiles", NotNeeded(1, QUEUE)),
    ("pool", Text("pool")),
    ("maxjobs", Number("maxjobs")),
    ("threaddepth", Number("threaddepth")),
    ("filesperjob", Number("filesperjob")),
    ("addrsperjob", Missing(1, "jobs come with hosts and entries (filesperjob)")),
    ("backoff", Times("backoff")),
    ("urgentbackoff", Times("urgentbackoff")),
    ("normalbackoff", Times("normalbackoff")),
    ("nonurgentbackoff", Times("nonurgentbackoff")),
    ("notices", Days("notices")),
    ("urgentnotices", Days("urgentnotices")),
    ("normalnotices", Days("normalnotices")),
    ("nonurgentnotices", Days("nonurgentnotices")),
    ("urgentblocklimit", Blocks("urgentblocklimit")),
    ("normalblocklimit", Blocks("normalblocklimit")),
    ("nonurgentblocklimit", Blocks("nonurgentblocklimit")),
    ("after urgentafter normalafter nonurgentafter", Missing(1, "no mail waits for a time of day")),
    (
        "deferred deferredsource deferreddestination",
        Missing(0, "Deferred-Delivery fields are not heeded"),
    ),
    ("nodeferred nodeferredsource nodeferreddestination", Same(0)),
    ("immediate immurgent immnormal immnonurgent periodic", NotNeeded(0, PRIORITY)),
    ("period", NotNeeded(1, PRIORITY)),
    (
        "master slave bidirectional serviceall noserviceall",
        NotNeeded(0, "what a channel does follows from its program and the services that name it"),
    ),
    ("serviceconversion noserviceconversion", NotNeeded(0, "the table CONVERSIONS decides")),
    ("user", Missing(1, "each entry of programs names its account")),
    ("logging", Same(0)),
    ("nologging", Missing(0, "every message is in the log")),
    ("logheader", Missing(1, "headers are not in the log")),
    ("master_debug slave_debug nomaster_debug noslave_debug", NotNeeded(0, DEBUG)),
    ("caption description", NotNeeded(1, "a comment says it")),
    ("language", Missing(1, "notary.language is one for all")),
    ("deliveryflags", Missing(1, "of its bits 64 is flagtransfer of the LMTP server")),
    ("flagtransfer", Set("flagtransfer", "true")),
    ("noflagtransfer", Set("flagtransfer", "false")),
    ("822 sourceroute", Set("route_style", "SourceRoute")),
    ("733 percents", Set("route_style", "Percents")),
    ("uucp bangstyle", Set("route_style", "BangStyle")),
    ("header_822 header_733 header_uucp", NotNeeded(0, HEADERS)),
    ("bangoverpercent", Set("bangoverpercent", "true")),
    ("nobangoverpercent", Set("bangoverpercent", "false")),
    ("percentonly", Set("percentonly", "true")),
    ("exproute improute", Missing(0, "no route of our own is added to addresses")),
    ("noexproute noimproute", Same(0)),
    ("routelocal", Set("routelocal", "true")),
    ("noroutelocal", Set("routelocal", "false")),
    ("reverse", Set("reverse", "true")),
    ("noreverse", Set("reverse", "false")),
    ("inner", Set("inner", "true")),
    ("noinner", Set("inner", "false")),
    ("restricted", Missing(0, "local parts are not requoted")),
    ("norestricted unrestricted", Same(0)),
    (
        "exquota noexquota holdexquota",
        Missing(0, "mail for a full mailbox waits for store.quota_grace, and then goes back"),
    ),
    (
        "aliasdetourhost aliasoptindetourhost",
        Missing(1, "mail of users goes to their mailHost, and by no other host"),
    ),
    ("externalidentity", Missing(1, "no name is claimed of other servers by AUTH EXTERNAL")),
    (
        "destinationbrightmail destinationbrightmailoptin sourcebrightmail sourcebrightmailoptin",
        Missing(0, "filters are milters here"),
    ),
    ("limitheadertermination relaxheadertermination", NotNeeded(0, HEADERS)),
    ("commentmap personalmap sourcecommentmap sourcepersonalmap", NotNeeded(1, HEADERS)),
    ("destinationnosolicit sourcenosolicit", Missing(1, "NO-SOLICITING (RFC 3865) is not offered")),
    ("msexchange", Missing(0, "TLS and AUTH are offered by their names in the RFCs alone")),
    ("nomsexchange", Same(0)),
    ("ipbackoff", Missing(8, "backoff is one for all hosts")),
    ("urgentqueue normalqueue nonurgentqueue", NotNeeded(1, QUEUE)),
    ("aliaslocal", Missing(0, "aliases are asked for mail of the channel l alone")),
    ("noaliaslocal", Same(0)),
    ("aliaswild", Set("aliaswild", "true")),
    ("noaliaswild", Set("aliaswild", "false")),
    (
        "aliasmagic",
        Missing(1, "the directory is asked before aliases (aliases_first turns it round)"),
    ),
    ("viaaliasrequired", Set("viaaliasrequired", "true")),
    ("viaaliasoptional", Set("viaaliasrequired", "false")),
    ("subaddressexact", Set("subaddress", "Exact")),
    ("subaddressrelaxed", Set("subaddress", "Relaxed")),
    ("subaddresswild", Set("subaddress", "Wild")),
    ("defaulthost", Host("defaulthost")),
    ("nodefaulthost noauthhost", Same(0)),
    ("authhost", Missing(1, "senders without a domain get default_domain")),
    ("remotehost", Set("remotehost", "true")),
    ("noremotehost", Set("remotehost", "false")),
    ("missingrecipientpolicy", Missing(1, "no recipient header is added")),
    (
        "addresssrs sourcesrs",
        Missing(0, "the section srs, and srs of the channel that mail leaves by"),
    ),
    ("destinationsrs", Missing(0, "srs of the channel, and the section srs with a secret")),
    ("rules", Set("rules", "true")),
    ("norules", Set("rules", "false")),
    (
        "validatelocalnone validatelocalsystem validatelocalmsgstore dropblank",
        NotNeeded(0, "recipients are known by the directory and aliases"),
    ),
    (
        "sourcespamfilter1optin sourcespamfilter2optin destinationspamfilter1optin destinationspamfilter2optin",
        Missing(1, "filters are milters here"),
    ),
    (
        "sourcespamfilter1 sourcespamfilter2 destinationspamfilter1 destinationspamfilter2",
        Missing(0, "filters are milters here"),
    ),
    (
        "headertrim headerread innertrim noheadertrim noheaderread noinnertrim headerinc headeromit headerfold headertrailing datefour datetwo dayofweek nodayofweek commentinc commentstrip commentomit commenttotal personalinc personalstrip personalomit sourcecommentinc sourcecommentstrip sourcecommentomit sourcecommenttotal sourcepersonalinc sourcepersonalstrip sourcepersonalomit",
        NotNeeded(0, HEADERS),
    ),
    (
        "sensitivitynormal sensitivitypersonal sensitivityprivate sensitivitycompanyconfidential",
        Missing(0, "Sensitivity is not looked at"),
    ),
    (
        "addreturnpath noaddreturnpath",
        NotNeeded(0, "the store writes Return-Path where it delivers"),
    ),
    ("x_env_to", Missing(0, "no X-Envelope-To is written; the store writes Delivered-To")),
    ("nox_env_to receivedfor receivedfrom", Same(0)),
    (
        "noreceivedfor noreceivedfrom",
        Missing(0, "Received says whom a message of one recipient is for"),
    ),
    ("generatemessagehash deletemessagehash keepmessagehash", Missing(0, "no hash is written")),
    (
        "charset7 charset8 charsetesc",
        Missing(
            1,
            "text without a label stays without one; the table CHARSET-CONVERSION changes labelled text",
        ),
    ),
    ("interpretencoding interpretmultipartencoding interpretmessageencoding", Same(0)),
    (
        "ignoreencoding ignoremultipartencoding ignoremessageencoding convert_octet_stream noconvert_octet_stream thurman nothurman",
        NotNeeded(0, "Encoding fields and uuencoded text pass as they are"),
    ),
    ("defragment", Set("defragment", "true")),
    ("nodefragment", Set("defragment", "false")),
    ("filter", Missing(1, "scripts of users come from the directory and sieve.files")),
    ("nofilter nochannelfilter nosourcefilter nodestinationfilter nofileinto", Same(0)),
    ("sourcefilter", File("sourcefilter")),
    ("destinationfilter channelfilter", File("destinationfilter")),
    ("fileinto", Text("fileinto")),
    (
        "postheadonly postheadbody",
        Missing(0, "notary.content_return_limit says how much comes back"),
    ),
    ("sendpost", Set("sendpost", "Always")),
    ("copysendpost", Set("sendpost", "Copy")),
    ("errsendpost", Set("sendpost", "Error")),
    ("nosendpost", Set("sendpost", "Never")),
    ("warnpost", Set("warnpost", "Always")),
    ("copywarnpost", Set("warnpost", "Copy")),
    ("errwarnpost", Set("warnpost", "Error")),
    ("nowarnpost", Set("warnpost", "Never")),
    ("aliaspostmaster", Missing(0, "notary.postmaster signs all notices")),
    ("returnaddress returnenvelope", Missing(1, "notary.postmaster signs all notices")),
    (
        "suppressfinal includefinal useintermediate",
        Missing(0, "notices name the address that the sender wrote, and the final one"),
    ),
    (
        "notificationchannel dispositionchannel",
        Missing(1, "notices come in by the channel of program Process"),
    ),
];
