//! stub
use std::sync::Arc;
#[derive(Clone)]
pub struct Mouth;
impl Mouth {
    pub fn new(_front: &Arc<crate::daemon::front::Front>) -> Self {
        Self
    }
    pub async fn serve(
        self,
        _f: Arc<crate::daemon::front::Front>,
        _s: tokio::net::UnixStream,
        _p: Arc<crate::domain::caller::Peer>,
        _l: Arc<crate::daemon::limits::Limits>,
    ) {
    }
}
