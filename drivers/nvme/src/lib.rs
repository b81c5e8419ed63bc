//! NVM Express driver.
