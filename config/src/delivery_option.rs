//! `delivery_options`: how values of `mailDeliveryOption` become addresses.

/// One entry: `#*mailbox=@$X.LMTP:$M%$\$2I$_+$2S@lmtpcs-daemon`.
#[derive(Clone, Debug)]
pub struct DeliveryOption {
    /// As in the file.
    pub text: String,
}
